//! A panic inside the library writes nothing to the terminal, and a panic outside writes what it always
//! did. Only another process can see that, so the test program starts itself.

use std::process::{Command, Output};

use tlsloop::contain;
use tlsloop::error::{Code, Result};

const CASE: &str = "TLSLOOP_TEST_CASE";

/// Runs only the test `child` of this program, as `case`.
fn run(case: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "child", "--nocapture", "--test-threads", "1"];
    Command::new(program).args(arguments).env(CASE, case).output().unwrap()
}

fn panics() -> Result<()> {
    panic!("a broken invariant")
}

#[test]
fn child() {
    match std::env::var(CASE).as_deref() {
        Ok("inside") => {
            let error = contain::run("the turn", panics).unwrap_err();
            assert_eq!(error.code(), Code::Internal);
        }
        Ok("worker") => {
            let worker = std::thread::spawn(|| {
                let _inside = contain::enter();
                panics()
            });
            assert!(worker.join().is_err());
        }
        Ok("outside") => {
            contain::run("nothing", || Ok(())).unwrap();
            assert!(std::thread::spawn(panics).join().is_err());
        }
        // The test runner's own run of all tests: there is nothing to do.
        _ => {}
    }
}

#[test]
fn a_panic_inside_writes_nothing() {
    for case in ["inside", "worker"] {
        let output = run(case);
        assert!(output.status.success(), "{case}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{case}");
    }
}

#[test]
fn a_panic_outside_is_left_to_the_hook_that_was_there() {
    let output = run("outside");
    assert!(output.status.success(), "{output:?}");
    let written = String::from_utf8_lossy(&output.stderr);
    assert!(written.contains("a broken invariant"), "{written}");
}
