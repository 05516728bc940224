"""One grid, one intensity scale: each visit brought onto the first, with the way back kept."""
