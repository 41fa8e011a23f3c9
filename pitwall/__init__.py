"""What every part of Pitwall shares. Imports no service."""
