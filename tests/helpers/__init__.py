"""What tests share: data, tiny models, checks of meshes and types."""
