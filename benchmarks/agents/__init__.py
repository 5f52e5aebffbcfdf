"""What a turn and a load cost through an adapter, beside the framework's own stores: ``__main__`` runs it."""
