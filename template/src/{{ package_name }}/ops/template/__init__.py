"""The template that the repository was made from: its releases, and what differs from them."""
