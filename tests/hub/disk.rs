//! Disks that take no more.

use super::*;

/// `ulimit -f` counts blocks of 512 bytes in a POSIX shell. The signal is ignored, so that writing fails instead.
#[test]
#[cfg(unix)]
fn a_disk_that_takes_no_more_is_told_and_the_download_goes_on_later() {
    let setting = Setting::with_weights(6_000_000);
    let pull = |limit: &str| {
        let script = format!("trap '' XFSZ; {limit} exec \"$0\" pull {ID}");
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_pocketmlx")])
            .env("HF_ENDPOINT", setting.server.endpoint())
            .env("HF_HUB_CACHE", setting.cache.path())
            .env("HF_HUB_OFFLINE", "0")
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let half = 3_072_000;
    let (done, said) = pull(&format!("ulimit -f {};", half / 512));
    assert!(!done && said.contains("HF_HUB_CACHE to another disk") && said.contains("kept"), "{said}");
    let hash = sha256(&setting.weights);
    let blobs = setting.cache.path().join("models--owner--model/blobs");
    assert!(!blobs.join(&hash).exists(), "a blob is whole or not there");
    assert_eq!(fs::metadata(blobs.join(format!("{hash}.incomplete"))).unwrap().len(), half);
    assert_eq!(setting.hub().cached(ID).unwrap(), None);
    setting.server.requests();
    assert!(pull("").0);
    let folder = setting.hub().cached(ID).unwrap().unwrap();
    setting.holds_all(&folder);
    let requests = setting.server.requests();
    let ranges: Vec<_> = requests.iter().filter(|r| of_weights(r)).filter_map(|r| r.headers.get("range")).collect();
    assert_eq!(ranges, [&format!("bytes={half}-")], "what was there came again");
}

#[test]
#[cfg(unix)]
fn a_cache_that_can_not_be_written_is_told() {
    use std::os::unix::fs::PermissionsExt;

    let setting = Setting::new();
    fs::set_permissions(setting.cache.path(), fs::Permissions::from_mode(0o555)).unwrap();
    // Root writes everywhere, but not into what is no folder.
    let root = fs::write(setting.cache.path().join("x"), "").is_ok();
    let cache = if root { "/proc/1/cmdline/hub".into() } else { setting.cache.path().join("hub") };
    let endpoints = vec![setting.server.endpoint()];
    let options = HubOptions { endpoints, cache: Some(cache), offline: Some(false), ..HubOptions::default() };
    let error = download(&Hub::new(options).unwrap(), ID).unwrap_err();
    assert_eq!(error.code(), Code::Io, "{error}");
    assert!(root || error.hint().contains("HF_HUB_CACHE"), "{error}: {}", error.hint());
    assert_eq!(setting.server.sent(), 0);
    fs::set_permissions(setting.cache.path(), fs::Permissions::from_mode(0o755)).unwrap();
}
