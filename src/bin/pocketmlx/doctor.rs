//! `pocketmlx doctor`

use serde_json::Value;

use crate::failure::Failure;
use crate::{outline, output};

/// Say what this machine and this build can do, and how to get more out of them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let facts = pocketmlx::system_info();
    if args.json {
        return output::json(&facts);
    }
    let mut text = outline::of(&facts);
    for hint in hints(&facts) {
        text.push_str(&format!("hint: {hint}\n"));
    }
    output::text(&text)
}

fn hints(facts: &Value) -> Vec<&'static str> {
    let gpu =
        facts["devices"].as_array().into_iter().flatten().any(|d| d["name"] == "mlx-gpu" && d["available"] == true);
    match (facts["mlx"].is_null(), gpu) {
        (_, true) => vec![],
        (true, _) => vec![
            "MLX is not built in, so everything runs on the CPU backend",
            "to build it in on Linux: `cargo xtask mlx`, then `cargo build --release --features mlx`",
        ],
        (false, false) => vec![
            "MLX found no GPU, so `--device auto` takes the CPU backend",
            "on Linux MLX needs an NVIDIA GPU with its driver and MLX's CUDA libraries on LD_LIBRARY_PATH",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hints_follow_from_what_is_missing() {
        let devices = |gpu: bool| json!([{"name": "cpu", "available": true}, {"name": "mlx-gpu", "available": gpu}]);
        assert!(hints(&json!({"devices": devices(true), "mlx": {"version": "0.32.2"}})).is_empty());
        assert!(hints(&json!({"devices": devices(false), "mlx": null}))[0].contains("not built in"));
        assert!(hints(&json!({"devices": devices(false), "mlx": {"version": "0.32.2"}}))[0].contains("no GPU"));
    }
}
