"""What an answer needs, wherever the request comes from."""
