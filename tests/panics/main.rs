//! "No panic crosses. A defect becomes EINTERNAL or one connection's SYSTEM, logged": each step of the library panics in
//! turn, while connections come, talk and go and another stands by.

#[path = "../common/mod.rs"]
mod common;
mod program;
mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use common::{Heard, Record, eventually, policy};
use stage::{Scene, Stage, echo, talk};
use tlsloop::contain::faults;
use tlsloop::error::Code;
use tlsloop::host::Reason;
use tlsloop::server::Workers;
use tlsloop::tls::policy::Policy;

/// More steps than any life of a server has.
const MOST: u64 = 2000;

/// Steps are counted in the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn l24_each_step_panics_and_nobody_else_suffers() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    faults::spare_this_thread();
    let policy = policy();
    // What is made once in the life of a process is made before descriptors are counted.
    run(&policy, Scene::Outgoing, Workers::Threads(1), u64::MAX);
    for scene in [Scene::Accepted, Scene::Adopted, Scene::StartTls, Scene::Outgoing] {
        for workers in [Workers::Threads(1), Workers::HostDriven] {
            let mut n = 1;
            while let Some(step) = run(&policy, scene, workers, n) {
                println!("{scene:?} {workers:?} {n}: {step}");
                n += 1;
                assert!(n < MOST, "{scene:?} {workers:?}: somebody takes steps without end");
            }
        }
    }
    assert_eq!(missed(), Vec::<String>::new(), "steps of the source that no run has come to");
}

/// The blocking client: the call that meets a defect says so, every later one too, and the server serves on.
#[test]
fn l24_a_client_that_met_a_defect_is_of_no_use_and_can_be_closed() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let stage = Stage::set_spared(&policy());
    let mut n = 1;
    loop {
        let descriptors = descriptors();
        faults::arm(n);
        let said = stage.talk_step_by_step();
        let Some(step) = faults::disarm() else {
            assert_eq!(said, [None, None, None], "without a panic");
            break;
        };
        let first = said.iter().position(Option::is_some).unwrap_or(said.len());
        assert!(said[first..].iter().all(|code| *code == Some(Code::Internal)), "{n}, {step}: {said:?}");
        assert!(eventually(|| self::descriptors() <= descriptors), "{n}, {step}: descriptors");
        n += 1;
        assert!(n < MOST, "somebody takes steps without end");
    }
    assert!(n > 10, "{n} steps are too few");
    let bystander = stage.connect().expect("nobody else suffers");
    stage.stop("the client's steps", bystander);
}

/// One life of a server whose `n`-th step panics; answers which, if there are so many.
fn run(policy: &Arc<Policy>, scene: Scene, workers: Workers, n: u64) -> Option<&'static str> {
    let what = format!("{scene:?} {workers:?} {n}");
    let descriptors = descriptors();
    let stage = Stage::set(policy, scene, workers);
    let mut bystander = stage.connect().expect("nothing panics yet");
    stage::expect(&mut bystander, b"last post", b"taken").expect("nothing panics yet");
    faults::arm(n);
    let played = stage.play().err();
    let left = faults::pause();
    let others = [echo(&mut bystander).err(), stage.connect().and_then(talk).err()];
    let failed: Vec<_> = others.into_iter().chain([played]).flatten().collect();
    assert!(failed.len() <= 1, "{what}: more than one connection suffers: {failed:?}");
    assert!(failed.iter().all(|error| error.code() != Code::TimedOut), "{what}: somebody waited: {failed:?}");
    stage.check_counts(&what);
    let program = stage.program.clone();
    faults::arm(left);
    stage.stop(&what, bystander);
    let fired = faults::disarm();
    let what = format!("{what}: {}", fired.unwrap_or("no panic"));
    assert!(fired.is_some() || failed.is_empty(), "{what}: {failed:?}");
    check(&what, fired, &program.record);
    assert_eq!(program.posts_accepted(), program.posts_run(), "{what}: posted functions");
    assert!(eventually(|| self::descriptors() == descriptors), "{what}: descriptors");
    fired
}

/// Each connection has the callbacks that it is promised, one at most was met by a defect, and somebody was told.
fn check(what: &str, fired: Option<&'static str>, record: &Record) {
    let mut by_id: BTreeMap<u64, Vec<Heard>> = BTreeMap::new();
    for (id, heard) in record.all() {
        by_id.entry(id).or_default().push(heard);
    }
    let mut defects = 0;
    for (id, heard) in by_id {
        let (last, before) = heard.split_last().expect("an entry");
        let is_last = |heard: &Heard| matches!(heard, Heard::Disconnect(_) | Heard::Failed(_));
        let is_whole = match last {
            Heard::Disconnect(_) => before.first() == Some(&Heard::Connect) && !before[1..].contains(&Heard::Connect),
            Heard::Failed(_) => before.is_empty(),
            Heard::Connect | Heard::Data(_) => false,
        };
        assert!(is_whole && !before.iter().any(is_last), "{what}: connection {id}: {heard:?}");
        assert_ne!(*last, Heard::Disconnect(Reason::IdleTimeout), "{what}: connection {id}");
        assert_ne!(*last, Heard::Disconnect(Reason::SendTimeout), "{what}: connection {id}");
        defects += usize::from(matches!(last, Heard::Disconnect(Reason::System) | Heard::Failed(Code::Internal)));
    }
    assert!(defects <= usize::from(fired.is_some()), "{what}: {defects} connections with a defect");
    assert!(fired.is_none_or(|step| record.has_words(step)), "{what}: nobody was told");
    assert!(fired.is_some() || !record.has_words("defect"), "{what}: a defect that is none");
}

/// How many descriptors the process has.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc").count()
}

/// The steps that stand in the source and were not taken.
fn missed() -> Vec<String> {
    let seen = faults::seen();
    let mut all = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    assert!(all.len() > 20, "the source is not where it was: {all:?}");
    all.retain(|name| !seen.contains(&name.as_str()));
    all
}

fn collect(directory: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("the source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, names);
        } else {
            let text = fs::read_to_string(&path).expect("text");
            let calls = text.split("contain::fault(\"").skip(1);
            names.extend(calls.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
}
