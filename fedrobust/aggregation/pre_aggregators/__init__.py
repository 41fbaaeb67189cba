"""What updates may go through before a rule, one a module."""
