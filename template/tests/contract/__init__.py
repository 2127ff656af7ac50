"""The verification tests: what every caller of a Responses agent relies on.

They come from the template and change with it; keep your own tests in `tests/`.
"""
