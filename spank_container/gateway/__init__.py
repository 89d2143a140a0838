"""The image service, and the client by which everybody else speaks with it (`client`, cheap to import)."""
