"""What each verb does, from documents to sealed values and back. Holds keys, touches no storage."""
