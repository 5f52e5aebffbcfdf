"""What people call: a store, its sessions, its settings, and how it is opened."""
