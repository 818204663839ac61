"""One example for each way in which an agent can go about its work."""
