"""The OpenAPI document, and the page that is made of it."""
