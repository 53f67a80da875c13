"""The life of rule sets and models: submit, shadow, activate, roll back."""
