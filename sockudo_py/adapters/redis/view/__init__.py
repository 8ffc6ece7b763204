"""What one node knows of a partition of the cluster, what it asks Redis for, and what the answers mean. Pure."""
