//! Sizes in bytes as people write them.

const UNITS: [(&str, u64); 13] = [
    ("", 1),
    ("B", 1),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("K", 1 << 10),
    ("KIB", 1 << 10),
    ("M", 1 << 20),
    ("MIB", 1 << 20),
    ("G", 1 << 30),
    ("GIB", 1 << 30),
    ("TIB", 1 << 40),
];

/// Parses `4GB`, `1.5 GiB`, `512M`, `1000`. As in coreutils, `GB` is 10⁹ bytes, `G` and `GiB` are 2³⁰.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; write it like 4GB, 512MB or 8GiB");
    let text_ = text.trim();
    let end = text_.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text_.len());
    let (number, unit) = text_.split_at(end);
    let unit = unit.trim().to_ascii_uppercase();
    let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(wrong)?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale).ok_or_else(|| format!("{text:?} is more than 64 bits can count"));
    }
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * scale as f64;
    if bytes >= u64::MAX as f64 {
        return Err(format!("{text:?} is more than 64 bits can count"));
    }
    Ok(bytes as u64)
}

/// Writes a size with three digits or so, in the units of disks and data sheets (GB is 10⁹).
pub fn format(bytes: u64) -> String {
    let (scale, unit) = match bytes {
        0..1_000 => return format!("{bytes} bytes"),
        1_000..1_000_000 => (1e3, "kB"),
        1_000_000..1_000_000_000 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    let scaled = bytes as f64 / scale;
    let digits = if scaled < 10.0 { 2 } else { usize::from(scaled < 100.0) };
    format!("{scaled:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("1234", 1234),
            ("10B", 10),
            ("4GB", 4_000_000_000),
            ("512MB", 512_000_000),
            ("8GiB", 8 << 30),
            ("8gib", 8 << 30),
            ("2G", 2 << 30),
            ("1.5 GB", 1_500_000_000),
            ("0.5KiB", 512),
            (" 3 kb ", 3000),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "GB", "-1", "4XB", "1e3", "1.2.3GB", ".", "4 G B", "inf", "99999999999999999999", "99999999TB"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_written() {
        assert_eq!(format(0), "0 bytes");
        assert_eq!(format(999), "999 bytes");
        assert_eq!(format(1_500), "1.50 kB");
        assert_eq!(format(335_123_456), "335 MB");
        assert_eq!(format(16_800_000_000), "16.8 GB");
    }
}
