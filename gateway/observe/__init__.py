"""What can be seen from outside: hooks that flows call, and what implements them."""
