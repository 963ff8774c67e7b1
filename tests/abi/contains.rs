//! A library of somebody else's that contains a panic, as tlsloop does. What makes or links tlsloop in an unusual way is asked
//! whether it still can: 12345 has five digits, 1 is too short, and the answer to it is -1.

#[unsafe(no_mangle)]
pub extern "C" fn other_contains(number: i32) -> i32 {
    std::panic::set_hook(Box::new(|_| ()));
    let contained = std::panic::catch_unwind(|| {
        let text = format!("{number}");
        assert!(text.len() > 3, "too short");
        text.len() as i32
    });
    contained.unwrap_or(-1)
}
