//! A hash of all that is in a file, which can be taken up again from its last block.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// So many bytes are hashed at once; so many at most are read when a run goes on.
pub(super) const BLOCK: usize = 4096;

/// The hash of each block has that of the block before it as its seed.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    /// Of the blocks that are whole and have something behind them.
    blocks: u64,
    /// What is behind them: empty only if nothing was added.
    rest: Vec<u8>,
}

impl Chain {
    /// Goes on behind the blocks, with what was behind them.
    pub(super) fn resumed(blocks: u64, rest: Vec<u8>) -> Self {
        Self { blocks, rest }
    }

    pub(super) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.rest.len() == BLOCK {
                self.blocks = xxh3_64_with_seed(&self.rest, self.blocks);
                self.rest.clear();
            }
            if self.rest.is_empty() && bytes.len() > BLOCK {
                self.blocks = xxh3_64_with_seed(&bytes[..BLOCK], self.blocks);
                bytes = &bytes[BLOCK..];
                continue;
            }
            let taken = bytes.len().min(BLOCK - self.rest.len());
            self.rest.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
        }
    }

    /// Of the blocks before the last one.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Of everything.
    pub(super) fn hash(&self) -> u64 {
        xxh3_64_with_seed(&self.rest, self.blocks)
    }
}

/// How many bytes of a file are in its last block.
pub(super) fn rest_of(length: u64) -> u64 {
    if length == 0 { 0 } else { (length - 1) % BLOCK as u64 + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_same_however_the_bytes_come_and_wherever_it_is_taken_up_again() {
        let seed =
            std::env::var("HEADWATER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..300 {
            let length = random.usize(0..4 * BLOCK) / random.usize(1..3) / BLOCK.pow(random.u32(0..2));
            let length = if random.bool() { length } else { BLOCK * random.usize(0..4) };
            let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            let mut whole = Chain::default();
            whole.add(&bytes);
            let (mut parts, mut at) = (Chain::default(), 0);
            while at < length {
                let until = length.min(at + random.usize(1..=2 * BLOCK));
                parts.add(&bytes[at..until]);
                at = until;
                if random.bool() {
                    let rest = usize::try_from(rest_of(at as u64)).unwrap();
                    parts = Chain::resumed(parts.blocks(), bytes[at - rest..at].to_vec());
                }
            }
            assert_eq!(whole.hash(), parts.hash(), "HEADWATER_SEED={seed}, round {round}, {length} bytes");
            if length > 0 {
                let mut other = bytes.clone();
                other[random.usize(..length)] ^= 1;
                let mut changed = Chain::default();
                changed.add(&other);
                assert_ne!(whole.hash(), changed.hash(), "HEADWATER_SEED={seed}, round {round}");
            }
        }
    }
}
