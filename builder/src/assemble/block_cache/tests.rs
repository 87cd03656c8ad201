use super::*;

fn key(number: u64) -> BlockKey {
    BlockKey::new(9, false, [(Sha256Digest([7; 32]), number, 100)].into_iter())
}

fn put(cache: &BlockCache, numbers: std::ops::Range<u64>) {
    let mut writer = cache.writer();
    for number in numbers {
        writer.put(&key(number), Form::Compressed, format!("block {number}").as_bytes()).unwrap();
    }
    writer.finish().unwrap();
}

fn get(cache: &BlockCache, number: u64) -> Option<String> {
    let mut bytes = Vec::new();
    let form = cache.get(&key(number), &mut bytes, |_| false)?;
    assert_eq!(form, Form::Compressed);
    Some(String::from_utf8(bytes).unwrap())
}

fn packs(directory: &Path) -> Vec<PathBuf> {
    let all: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let packs = pack_paths(directory).unwrap();
    assert_eq!(all.len(), packs.len(), "something is left over: {all:?}");
    packs
}

#[test]
fn blocks_come_back_in_the_next_build() {
    let directory = tempfile::tempdir().unwrap();
    let cache = BlockCache::open(directory.path()).unwrap();
    assert!(cache.is_empty());
    put(&cache, 0..0);
    assert!(packs(directory.path()).is_empty());
    put(&cache, 0..3);
    let cache = BlockCache::open(directory.path()).unwrap();
    assert_eq!(cache.len(), 3);
    assert_eq!(get(&cache, 2).as_deref(), Some("block 2"));
    assert_eq!(get(&cache, 3), None);
}

#[test]
fn an_unfinished_pack_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let cache = BlockCache::open(directory.path()).unwrap();
    let mut writer = cache.writer();
    writer.put(&key(1), Form::Compressed, b"x").unwrap();
    drop(writer);
    assert!(packs(directory.path()).is_empty());
}

#[test]
fn a_raw_block_is_read_from_its_source_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let cache = BlockCache::open(directory.path()).unwrap();
    let mut writer = cache.writer();
    writer.put(&key(1), Form::Raw, b"noise").unwrap();
    writer.put(&key(2), Form::Hole, b"").unwrap();
    writer.finish().unwrap();
    let cache = BlockCache::open(directory.path()).unwrap();
    let from = |source: &'static [u8]| {
        let mut bytes = b"old".to_vec();
        let form = cache.get(&key(1), &mut bytes, |buffer| {
            buffer.clear();
            buffer.extend_from_slice(source);
            true
        });
        (form, bytes)
    };
    assert_eq!(from(b"noise"), (Some(Form::Raw), b"noise".to_vec()));
    assert_eq!(from(b"other").0, None);
    let mut bytes = b"old".to_vec();
    assert_eq!(cache.get(&key(2), &mut bytes, |_| false), Some(Form::Hole));
    assert!(bytes.is_empty());
}

#[test]
fn damage_anywhere_counts_as_absence() {
    let directory = tempfile::tempdir().unwrap();
    put(&BlockCache::open(directory.path()).unwrap(), 0..3);
    let path = packs(directory.path()).remove(0);
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        let cache = BlockCache::open(directory.path()).unwrap();
        let known = (0..3).filter(|&number| get(&cache, number).is_some_and(|text| text == format!("block {number}"))).count();
        // A byte of a block costs that block, a byte of index or trailer the pack.
        let block = at < 3 * "block 0".len();
        assert_eq!((known, path.exists()), if block { (2, true) } else { (0, false) }, "byte {at}");
        fs::write(&path, &good).unwrap();
    }
    for len in 0..good.len() {
        fs::write(&path, &good[..len]).unwrap();
        assert!(BlockCache::open(directory.path()).unwrap().is_empty());
    }
}

#[test]
fn small_packs_are_merged_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    for build in 0..40 {
        put(&BlockCache::open(directory.path()).unwrap(), build * 2..build * 2 + 2);
        assert!(packs(directory.path()).len() <= pack::MANY);
    }
    let cache = BlockCache::open(directory.path()).unwrap();
    assert_eq!(cache.len(), 80);
    for number in 0..80 {
        assert_eq!(get(&cache, number), Some(format!("block {number}")));
    }
}

#[test]
fn a_merge_under_a_running_build_does_not_hurt_it() {
    let directory = tempfile::tempdir().unwrap();
    for build in 0..pack::MANY as u64 {
        put(&BlockCache::open(directory.path()).unwrap(), build..build + 1);
    }
    let running = BlockCache::open(directory.path()).unwrap();
    put(&BlockCache::open(directory.path()).unwrap(), 100..101);
    assert_eq!(packs(directory.path()).len(), 1);
    assert_eq!(get(&running, 3).as_deref(), Some("block 3"));
    put(&running, 200..201);
    let cache = BlockCache::open(directory.path()).unwrap();
    assert_eq!(get(&cache, 200).as_deref(), Some("block 200"));
    assert_eq!(get(&cache, 100).as_deref(), Some("block 100"));
}

#[test]
fn what_is_used_is_marked_for_gc() {
    let directory = tempfile::tempdir().unwrap();
    put(&BlockCache::open(directory.path()).unwrap(), 0..1);
    put(&BlockCache::open(directory.path()).unwrap(), 1..2);
    let old = std::time::SystemTime::UNIX_EPOCH;
    for path in packs(directory.path()) {
        fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    let cache = BlockCache::open(directory.path()).unwrap();
    assert!(get(&cache, 1).is_some());
    cache.writer().finish().unwrap();
    let times: Vec<_> = packs(directory.path()).iter().map(|path| fs::metadata(path).unwrap().modified().unwrap()).collect();
    assert_eq!(times.iter().filter(|time| **time > old).count(), 1, "{times:?}");
}
