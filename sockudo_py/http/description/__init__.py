"""What routes take and give, in a short notation of which the OpenAPI document is made."""
