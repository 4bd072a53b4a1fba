"""Dense faces as surfaces: meshes of any face model, mesh files, GLB."""
