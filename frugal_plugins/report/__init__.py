"""What the ledger says, as text, JSON and one HTML page that needs nothing from the network."""
