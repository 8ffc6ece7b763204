"""What spares receivers: circuit breakers, automatic disabling, a limit on deliveries."""
