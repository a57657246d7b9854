//! Which models suit this device: the catalogue in the program, what a hub finds, what is known of one model.
//!
//! The catalogue (`assets/catalog.json`) names models with the shapes of their architectures, and sources for both. Sizes
//! are computed from the shapes; nothing in it that only a hub can tell is believed until `cargo xtask catalog` has asked.

mod fit;
mod info;
mod model;
mod recommend;

pub use fit::{Fit, FitOptions};
pub use info::{ModelInfo, Support};
pub use model::{ModelTask, Seen};
pub use recommend::{RecommendOptions, Recommendation, recommend};
