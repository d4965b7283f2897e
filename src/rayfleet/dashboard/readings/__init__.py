"""What pages show, as frozen values made from records: pure, but for `shared`, which reads the files in threads."""
