"""Conversations as packed rows of tokens, made by worker processes while the model trains."""

import multiprocessing
import os
import queue
import random

import numpy as np

START, END = 1, 2
PAD = 0


def mask_of(ids, header):
    """1 for the tokens the assistant wrote, its end token included."""
    mask, at = np.zeros(len(ids), np.uint8), 0
    size = len(header)
    while True:
        try:
            at = ids.index(START, at)
        except ValueError:
            return mask
        if ids[at : at + size] == header:
            begin = at + size
            at = ids.index(END, begin) + 1
            mask[begin:at] = 1
        else:
            at += 1


class Packer:
    """Puts whole conversations into rows of a fixed length."""

    def __init__(self, length, rows=8):
        self.length = length
        self.open = [[] for _ in range(rows)]
        self.sizes = [0] * rows

    def add(self, ids, mask):
        """Place one conversation; returns a full row, or None."""
        if len(ids) > self.length:
            return None
        fits = [i for i, size in enumerate(self.sizes) if size + len(ids) <= self.length]
        if fits:
            best = max(fits, key=self.sizes.__getitem__)
            self.open[best].append((ids, mask))
            self.sizes[best] += len(ids)
            return None
        fullest = max(range(len(self.sizes)), key=self.sizes.__getitem__)
        row = self.close(fullest)
        self.open[fullest], self.sizes[fullest] = [(ids, mask)], len(ids)
        return row

    def close(self, index):
        """The row as (3, length): tokens, mask, and the number of the conversation, 0 for padding."""
        row = np.zeros((3, self.length), np.uint16)
        at = 0
        for number, (ids, mask) in enumerate(self.open[index], 1):
            end = at + len(ids)
            row[0, at:end], row[1, at:end], row[2, at:end] = ids, mask, number
            at = end
        return row


class Random(random.Random):
    """Random numbers with cheaper choices."""

    def choice(self, options):
        return options[int(self.random() * len(options))]

    def randint(self, low, high):
        return low + int(self.random() * (high - low + 1))


def rows(tokenizer_path, seed, length):
    """Packed rows without end."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer

    from generate.conversation import conversation
    from generate.render import segments

    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    header = tokenizer.encode("<|im_start|>assistant\n").ids
    rng, packer = Random(seed), Packer(length)
    while True:
        talks = [conversation(rng) for _ in range(256)]
        texts = ["".join(text for text, _ in segments(t.system, t.tools, t.messages)) for t in talks]
        for encoded in tokenizer.encode_batch_fast(texts):
            row = packer.add(encoded.ids, mask_of(encoded.ids, header))
            if row is not None:
                yield row


def work(queue, tokenizer_path, seed, length, block):
    """Fill a queue with blocks of rows."""
    source = rows(tokenizer_path, seed, length)
    while True:
        queue.put(np.stack([next(source) for _ in range(block)]))


class Loader:
    """Batches from worker processes; with no workers they are made in place."""

    def __init__(self, tokenizer_path, length, batch, workers, seed, block=16):
        self.block, self.batch = block, batch
        self.rows = rows(tokenizer_path, seed, length) if workers == 0 else None
        if workers:
            context = multiprocessing.get_context("fork")
            self.queue = context.Queue(maxsize=workers * 4 + 64)
            self.processes = [context.Process(target=work, args=(self.queue, tokenizer_path, seed * 1000 + worker, length, block), daemon=True) for worker in range(workers)]
            for process in self.processes:
                process.start()
            self.kept, self.random, self.again = [], random.Random(seed), 0

    def next(self):
        """One batch as (batch, 3, length)."""
        if self.rows is not None:
            return np.stack([next(self.rows) for _ in range(self.batch)])
        return np.concatenate([self._block() for _ in range(self.batch // self.block)])

    def _block(self):
        """A fresh block; one seen before when the workers can't keep up."""
        try:
            block = self.queue.get(timeout=0.003 if len(self.kept) > 2000 else 60)
        except queue.Empty:
            self.again += 1
            return self.random.choice(self.kept)
        if len(self.kept) <= 6000:
            self.kept.append(block)
        else:
            self.kept[self.random.randrange(len(self.kept))] = block
        return block

    def close(self):
        """End the workers."""
        for process in self.processes if self.rows is None else []:
            process.terminate()
