//! MLX through `mlx-rs`.
