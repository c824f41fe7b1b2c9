//! Measures how fast a folder is identified and a finished pipeline looked up: `speed FOLDER [FILES [BYTES]]`, 20,000
//! files of 10,000 bytes unless told.
//!
//! Makes the files in FOLDER, 1,000 to a class, unless they are there, and prints times and the peak memory of this
//! process.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tfnas_artifacts::{
    Cache, Digest, KeyManifest, NewAttempt, NewRun, Outcome, Purpose, Usage, Waiting, identify_folder,
};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(arguments.first().ok_or("usage: speed FOLDER [FILES [BYTES]]")?);
    let files: usize = arguments.get(1).map_or(Ok(20_000), |text| text.parse())?;
    let bytes: usize = arguments.get(2).map_or(Ok(10_000), |text| text.parse())?;
    let (images, store) = (folder.join(format!("images-{files}")), folder.join("store"));
    make_files(&images, files, bytes)?;
    let cache = Cache::open(&store)?;
    let memos = cache.store().folder_memos();

    let first = timed("first hash", || Ok(identify_folder(&images, Some(&memos))?))?;
    println!("    {} files, {} bytes, {} read now", first.files, first.bytes, first.hashed);
    let digest = first.digest;
    drop(first);
    for _ in 0..5 {
        let again = timed("unchanged", || Ok(identify_folder(&images, Some(&memos))?))?;
        println!("    {} read now", again.hashed);
    }
    println!("peak memory: {}", peak_memory()?);
    make_results(&cache, &digest)?;
    drop(cache);
    std::thread::sleep(Duration::from_millis(100));
    for _ in 0..5 {
        timed("no-op run of six stages", || look_up(&store, &digest))?;
    }
    Ok(())
}

fn timed<T>(what: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let started = Instant::now();
    let value = work()?;
    println!("{what}: {:.2} ms", started.elapsed().as_secs_f64() * 1e3);
    Ok(value)
}

fn make_files(root: &Path, files: usize, bytes: usize) -> Result<(), Failure> {
    if root.exists() {
        return Ok(());
    }
    for index in 0..files {
        let class = root.join(format!("n{:08}", index / 1000));
        if index % 1000 == 0 {
            fs::create_dir_all(&class)?;
        }
        let mut content = vec![0; bytes];
        let number = index.to_le_bytes();
        content.iter_mut().zip(number.iter().cycle()).for_each(|(byte, digit)| *byte = *digit);
        fs::write(class.join(format!("n{:08}_{index}.JPEG", index / 1000)), content)?;
    }
    Ok(())
}

/// The keys of a chain of six stages with outputs of 100 kB.
fn keys(images: &Digest) -> Result<Vec<(KeyManifest, Vec<u8>)>, Failure> {
    let mut input = *images;
    let mut keys = Vec::new();
    for stage in ["split", "lookup", "search", "parse", "train", "test"] {
        let mut manifest = KeyManifest::new(stage, 1);
        manifest.input("input", input)?;
        let content = stage.repeat(20_000).into_bytes();
        input = Digest::of_bytes(&content);
        keys.push((manifest, content));
    }
    Ok(keys)
}

fn new_run() -> NewRun {
    NewRun { arguments: vec!["run".into(), "all".into()], tool: "speed".into(), ..NewRun::default() }
}

fn make_results(cache: &Cache, images: &Digest) -> Result<(), Failure> {
    let run = cache.begin_run(&new_run())?;
    for (manifest, content) in keys(images)? {
        if cache.take(&run, &manifest.key())?.result.is_some() {
            continue;
        }
        let lock = cache.lock(&manifest.key(), &mut |_| Waiting::GoOn)?.ok_or("nobody gives up")?;
        let attempt = NewAttempt {
            instance: manifest.stage().to_owned(),
            manifest,
            origins: Default::default(),
            environment: serde_json::json!({}),
            purpose: Purpose::Run,
        };
        let mut open = cache.begin_attempt(&run, lock, attempt)?;
        let file = open.output_folder().join("output");
        fs::write(&file, content)?;
        timed("commit", || {
            Ok(cache.commit(&mut open, &[("output".into(), file)], serde_json::json!({}), Usage::default())?)
        })?;
    }
    Ok(cache.end_run(run, Outcome::Done)?)
}

fn look_up(store: &Path, images: &Digest) -> Result<(), Failure> {
    let cache = Cache::open(store)?;
    let run = cache.begin_run(&new_run())?;
    for (manifest, _) in keys(images)? {
        cache.take(&run, &manifest.key())?.result.ok_or("a result is gone")?;
    }
    Ok(cache.end_run(run, Outcome::Done)?)
}

fn peak_memory() -> Result<String, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM")).ok_or("no VmHWM")?;
    Ok(line.trim_start_matches("VmHWM:").trim().to_owned())
}
