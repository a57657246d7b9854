//! The reader, the blocks, and what becomes of them.

mod blocks;
mod reader;
