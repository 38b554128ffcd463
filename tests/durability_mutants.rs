//! Shows that the durability tests can see: each mutant of the protocol, a sync left out, a rename too early, a
//! check that is not made, is found by them.
//!
//! The mutants are file systems: they stand between the library and the disk and do, call by call, what a
//! library with that mistake would do. `cargo test --test durability_mutants -- --nocapture` prints the table.

mod crash_world;
mod frozen_run;
mod mutant_fs;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crash_world::{Layout, OUT, World, in_paused_time};
use frozen_run::{Frozen, half_way_and_taken_over};
use headwater::checkpoint::{CheckpointStore, FileStore};
use headwater::error::ErrorKind;
use headwater::fs::{Fs, OpenMode};
use headwater::testing::{CrashFs, Image};
use mutant_fs::{MUTANTS, Mutant, MutantFs, is_data};

fn world(mutant: Mutant) -> World {
    let world = World::small(2, 3);
    match mutant {
        _ if is_of_parts(mutant) => world.layout(Layout::Rolling),
        Mutant::NamesAreOverwritten => world.layout(Layout::Folders),
        _ => world,
    }
}

/// What a run has left that lost power half-way, with everything it had written.
fn half_way(mutant: Mutant) -> &'static Image {
    static IMAGES: OnceLock<[Image; 2]> = OnceLock::new();
    let of = |mutant| {
        let disk = CrashFs::new();
        let fs: Arc<dyn Fs> = Arc::new(disk.clone());
        world(mutant).run(&fs).expect("it finishes");
        let crash = disk.crash(disk.operations() / 2);
        crash.state(all_written(&crash))
    };
    let images = IMAGES.get_or_init(|| [of(Mutant::None), of(Mutant::NamesAreNotSynced)]);
    &images[usize::from(is_of_parts(mutant))]
}

/// Whether a mistake is one with files in parts.
fn is_of_parts(mutant: Mutant) -> bool {
    matches!(
        mutant,
        Mutant::NamesAreNotSynced | Mutant::NamesBeforeCheckpoints | Mutant::PartialsAreNotRemoved
    )
}

/// The number of the state in which the most is there.
fn all_written(crash: &headwater::testing::Crash) -> u128 {
    (0..crash.count())
        .max_by_key(|number| crash.state(*number).files().map(|(_, bytes)| bytes.len()).sum::<usize>())
        .unwrap_or(0)
}

fn rerun(image: Image, mutant: Mutant) -> Result<(), String> {
    let disk = CrashFs::from_image(image);
    let fs: Arc<dyn Fs> = Arc::new(MutantFs::new(&disk, mutant));
    world(mutant).run(&fs).map_err(|failure| failure.to_string())?;
    world(mutant).check(&disk.image())
}

/// Power loss at every instant, every state: of a first run, and of one that goes on after a power loss.
fn crashes(mutant: Mutant) -> Result<(), String> {
    crashes_from(Image::default(), mutant)?;
    crashes_from(half_way(mutant).clone(), mutant)
}

fn crashes_from(base: Image, mutant: Mutant) -> Result<(), String> {
    let disk = CrashFs::from_image(base);
    let fs: Arc<dyn Fs> = Arc::new(MutantFs::new(&disk, mutant));
    world(mutant).run(&fs).map_err(|failure| failure.to_string())?;
    world(mutant).check(&disk.image())?;
    let mut seen = BTreeSet::new();
    for instant in 0..=disk.operations() {
        let crash = disk.crash(instant);
        for number in 0..crash.count().min(512) {
            let image = crash.state(number);
            if seen.insert(format!("{image:?}")) {
                rerun(image, mutant).map_err(|why| format!("power loss after change {instant}: {why}"))?;
            }
        }
    }
    Ok(())
}

/// A call that fails, then power loss: nothing may be taken for done.
fn failures(mutant: Mutant) -> Result<(), String> {
    for call in 1..60 {
        let disk = CrashFs::new();
        disk.fail(call, io::ErrorKind::StorageFull);
        let outcome = world(mutant).run(&(Arc::new(MutantFs::new(&disk, mutant)) as Arc<dyn Fs>));
        if outcome.is_ok() {
            world(mutant)
                .check(&disk.image())
                .map_err(|why| format!("call {call} failed and the run did not: {why}"))?;
        }
        let crash = disk.crash(disk.operations());
        if outcome.is_ok() {
            finished(crash.state(0))
                .map_err(|why| format!("call {call} failed and the run did not: {why}"))?;
        }
        for image in [disk.image(), crash.state(0)] {
            rerun(image, mutant).map_err(|why| format!("after call {call} failed: {why}"))?;
        }
    }
    Ok(())
}

/// What was reported as finished is so on the disk, whatever a power loss takes away.
fn finished(image: Image) -> Result<(), String> {
    let store = FileStore::on(Arc::new(CrashFs::from_image(image)), Path::new(OUT).join(".headwater"));
    for source in ["s0", "s1"] {
        match in_paused_time(store.load(source)) {
            Ok(Some(checkpoint)) if checkpoint.is_finished() => {}
            Ok(_) => return Err(format!("{source} is not finished on the disk")),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// A data file that someone has changed or cut is refused.
fn damage(mutant: Mutant) -> Result<(), String> {
    let image = half_way(mutant);
    let (path, bytes) =
        image.files().find(|(path, bytes)| is_data(path) && bytes.len() > 100).ok_or("no data yet")?;
    let mut changed = bytes.to_vec();
    changed[10] ^= 1;
    for (what, damaged) in [("changed", changed), ("cut", bytes[..50].to_vec())] {
        let disk = CrashFs::from_image(image.clone());
        let file = disk.open(path, OpenMode::Existing).map_err(|error| error.to_string())?;
        file.truncate(0).and_then(|()| file.append(&damaged)).map_err(|error| error.to_string())?;
        let fs: Arc<dyn Fs> = Arc::new(MutantFs::new(&disk, mutant).damaged(image.clone()));
        match world(mutant).run(&fs) {
            Err(failure) if failure.error.kind() == ErrorKind::Checkpoint => {}
            Err(failure) => return Err(format!("a {what} file gave: {failure}")),
            Ok(_) => return Err(format!("a {what} file was taken for good")),
        }
    }
    Ok(())
}

/// A name that is taken is left alone, and the run says so.
fn taken(mutant: Mutant) -> Result<(), String> {
    let disk = CrashFs::new();
    let path = Path::new(OUT).join("source=s0/id=1/20260517T100000Z/00001.jsonl.gz");
    let file = disk.open(&path, OpenMode::New).map_err(|error| error.to_string())?;
    file.append(b"mine").map_err(|error| error.to_string())?;
    let fs: Arc<dyn Fs> = Arc::new(MutantFs::new(&disk, mutant));
    match World::small(2, 3).layout(Layout::Folders).run(&fs) {
        Err(failure) if failure.error.kind() == ErrorKind::Sink => {}
        Err(failure) => return Err(failure.to_string()),
        Ok(_) => return Err("it was overwritten, or forgotten".into()),
    }
    match disk.image().read(&path) {
        Some(b"mine") => Ok(()),
        _ => Err("it was overwritten".into()),
    }
}

/// Two runs at once: the second is refused.
fn two_at_once(mutant: Mutant) -> Result<(), String> {
    let disk = CrashFs::new();
    let fs: Arc<dyn Fs> = Arc::new(MutantFs::new(&disk, mutant));
    let (first, second) =
        in_paused_time(async { tokio::join!(world(mutant).start(&fs), world(mutant).start(&fs)) });
    match (first, second) {
        (Ok(_), Err(failure)) if failure.error.kind() == ErrorKind::Locked => {
            world(mutant).check(&disk.image())
        }
        (first, second) => Err(format!("{} and {} ended well", first.is_ok(), second.is_ok())),
    }
}

/// A run that is frozen at any call, and overtaken: it is told so, and has done no harm.
fn frozen(mutant: Mutant) -> Result<(), String> {
    for base in [Image::default(), half_way_and_taken_over(&world(mutant))] {
        for call in 1.. {
            let disk = CrashFs::from_image(base.clone());
            let fs = || Arc::new(MutantFs::new(&disk, mutant)) as Arc<dyn Fs>;
            let first = Frozen::start(&world(mutant), fs(), call, false);
            if !first.is_frozen {
                first.wake().map_err(|failure| failure.to_string())?;
                break;
            }
            let second = world(mutant).run_over(&fs());
            let woken = first.wake();
            let place = |why: String| format!("frozen at call {call}: {why}");
            let second = second.map_err(|failure| place(failure.to_string()))?;
            frozen_run::overtaken(&woken, &second).map_err(place)?;
            world(mutant).check(&disk.image()).map_err(place)?;
        }
    }
    Ok(())
}

/// Where locks keep nobody out: a run that was overtaken when it had begun finds the other's checkpoints before
/// it stores its own.
fn without_locks(mutant: Mutant) -> Result<(), String> {
    for call in 1.. {
        let disk = CrashFs::new();
        let fs = || Arc::new(MutantFs::new(&disk, mutant).without_locks()) as Arc<dyn Fs>;
        // Just where a save begins: it lists what is there.
        let first = Frozen::start_listing(&world(mutant), fs(), call);
        if !first.is_frozen {
            return first.wake().map(drop).map_err(|failure| failure.to_string());
        }
        let begun = ["s0", "s1"].iter().all(|source| {
            let name = format!("{OUT}/.headwater/{source}.1.checkpoint");
            disk.image().read(name).is_some()
        });
        let second = world(mutant).run(&fs());
        let woken = first.wake();
        if let Some(second) = second.ok().filter(|_| begun)
            && woken.is_ok_and(|report| report.run == second.run)
        {
            return Err(format!("frozen at listing {call}: both runs believe that they have finished it"));
        }
    }
    Ok(())
}

type Check = fn(Mutant) -> Result<(), String>;

const CHECKS: [(&str, Check); 7] = [
    ("power loss", crashes),
    ("failing calls", failures),
    ("damage", damage),
    ("a taken name", taken),
    ("two at once", two_at_once),
    ("frozen", frozen),
    ("without locks", without_locks),
];

#[test]
fn every_mutant_is_found_and_the_protocol_as_it_is_passes() {
    for (name, check) in CHECKS {
        check(Mutant::None).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    let mut missed = Vec::new();
    println!("{:<32} {:<14} what was seen", "mutant", "found by");
    for mutant in MUTANTS {
        let found = CHECKS.iter().find_map(|(name, check)| Some((name, check(mutant).err()?)));
        let shown = format!("{mutant:?}");
        match found {
            Some((name, why)) => {
                let why: String = why.lines().next().unwrap_or_default().chars().take(110).collect();
                println!("{shown:<32} {name:<14} {why}");
            }
            None => {
                println!("{shown:<32} NOT FOUND");
                missed.push(mutant);
            }
        }
    }
    println!("{} of {} mutants found", MUTANTS.len() - missed.len(), MUTANTS.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
}
