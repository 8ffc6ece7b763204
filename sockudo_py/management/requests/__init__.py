"""What all management routes share: the router, requests and answers as values, and their schemas."""
