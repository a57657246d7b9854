//! How fast a download is beside curl.

use super::*;

/// 200 MB in 8 files, in turns with curl, which fetches them in parallel and checks nothing. By hand, in a release build:
/// `cargo test --release --test hub as_fast_as_curl -- --ignored --nocapture`.
#[test]
#[ignore = "measures time"]
fn a_large_repository_comes_as_fast_as_curl_fetches_it() {
    const TURNS: usize = 9;
    let server = TestHub::start();
    let names: Vec<String> = (1..=8).map(|i| format!("model-{i}.safetensors")).collect();
    let shards: Vec<Vec<u8>> =
        (1..=8).map(|i| (0..25_000_000usize).map(|at| (at * i * 31 + at / 251) as u8).collect()).collect();
    let mut files: Vec<(&str, &[u8])> = vec![("config.json", CONFIG), ("tokenizer.json", TOKENIZER)];
    files.extend(names.iter().map(String::as_str).zip(shards.iter().map(Vec::as_slice)));
    server.add(ID, &files);
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let cache = tempfile::tempdir().unwrap();
        let options = HubOptions {
            endpoints: vec![server.endpoint()],
            cache: Some(cache.path().to_owned()),
            offline: Some(false),
            ..HubOptions::default()
        };
        let hub = Hub::new(options).unwrap();
        let began = Instant::now();
        download(&hub, ID).unwrap();
        ours.push(began.elapsed().as_secs_f64());
        let folder = tempfile::tempdir().unwrap();
        let mut curl = Command::new("curl");
        curl.args(["--no-progress-meter", "--location", "--parallel", "--fail"]).current_dir(folder.path());
        for (name, _) in &files {
            curl.args(["--output", name, &format!("{}/{ID}/resolve/main/{name}", server.endpoint())]);
        }
        let began = Instant::now();
        assert!(curl.status().unwrap().success());
        theirs.push(began.elapsed().as_secs_f64());
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("PocketMLX {ours:.3} s, curl {theirs:.3} s: {:.2} of its speed", theirs / ours);
    assert!(theirs / ours >= 0.8);
}
