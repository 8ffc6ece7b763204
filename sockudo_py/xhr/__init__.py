"""pusher-js's HTTP transports: clients that receive by XHR streaming or polling, and send by requests of their own."""
