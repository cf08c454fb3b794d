"""wgrad's random numbers: initial weights (crates/graph/src/state.rs) and the streams of data (crates/train/src/rng.rs), so that
PyTorch can train on the same ones."""

import numpy as np

MULTIPLIERS, WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
WORD = np.uint64(0xFFFFFFFF)


def philox(key, counter):
    """Philox4x32-10 of counters given as four arrays."""
    c = [np.asarray(x, dtype=np.uint64) for x in counter]
    k = [np.uint64(x) for x in key]
    for _ in range(10):
        products = [c[0] * np.uint64(MULTIPLIERS[0]), c[2] * np.uint64(MULTIPLIERS[1])]
        high, low = [p >> np.uint64(32) for p in products], [p & WORD for p in products]
        c = [high[1] ^ c[1] ^ k[0], low[1], high[0] ^ c[3] ^ k[1], low[0]]
        k = [(k[i] + np.uint64(WEYL[i])) & WORD for i in range(2)]
    return c


def key_of(seed):
    return seed & 0xFFFFFFFF, seed >> 32


def initial_normal(name, shape, seed, deviation):
    """What a state tensor of this name starts as, where it starts normal."""
    stream = 0xCBF29CE484222325
    for byte in name.encode():
        stream = ((stream ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    words = philox(key_of(seed), (i & WORD, i >> np.uint64(32), stream & 0xFFFFFFFF, stream >> 32))
    u = [(w.astype(np.float64) + 0.5) / 4294967296.0 for w in words[:2]]
    z = np.sqrt(-2 * np.log(u[0])) * np.cos(2 * np.pi * u[1])
    return (np.float64(np.float32(deviation)) * z).astype(np.float32).reshape(shape)


class Stream:
    """The random words of one (seed, purpose, epoch, index)."""

    SHUFFLE, AUGMENT = 1, 2

    def __init__(self, seed, purpose, epoch, index):
        self.key, self.place, self.block, self.words = key_of(seed), (index, purpose << 28 | epoch), 0, []

    def word(self):
        if not self.words:
            blocks = np.arange(self.block, self.block + 64)  # many at once, since numpy is slow at one
            self.words = np.stack(philox(self.key, (blocks, 0, *self.place)), axis=1).ravel().tolist()[::-1]
            self.block += 64
        return self.words.pop()

    def below(self, bound):
        threshold = (2**32 - bound) % bound
        while True:
            product = self.word() * bound
            if product & 0xFFFFFFFF >= threshold:
                return product >> 32

    def shuffle(self, items):
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]
