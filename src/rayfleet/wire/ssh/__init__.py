"""Commands and files over SSH. No decisions: what runs where is for others to say."""
