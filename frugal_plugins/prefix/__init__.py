"""What the provider's prompt cache makes a prompt cost, and where a conversation's state lives."""
