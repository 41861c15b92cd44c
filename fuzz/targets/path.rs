//! A normalised path is its own normal form, and no reading of it climbs or hides anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::domain::path::NormalPath;

fuzz_target!(|raw: &str| {
    let Ok(path) = NormalPath::parse(raw) else { return };
    let forwarded = path.forwarded();
    let again = NormalPath::parse(forwarded).expect("a normal path is a path");
    assert_eq!(again.forwarded(), forwarded, "normal once is normal");
    assert!(forwarded.bytes().all(|byte| byte.is_ascii_graphic()), "{forwarded}");
    assert!(!forwarded.contains(['\\', '#', '?']) && !forwarded.contains("//"), "{forwarded}");
    assert!(!forwarded.contains("%2F") && !forwarded.contains("%5C") && !forwarded.contains("%00"), "{forwarded}");
    assert!(forwarded.split('/').all(|segment| !matches!(segment, "." | "..")), "{forwarded}");
    let rest = forwarded.strip_prefix(path.matched()).expect("what is matched is what is forwarded");
    assert!(matches!(rest, "" | "/"), "{forwarded}");
    if let Some(shortened) = path.shortened() {
        let shortened = NormalPath::parse(shortened.forwarded()).expect("a normal path is a path");
        assert_eq!(shortened.shortened(), None, "shortened once is short");
    }
});
