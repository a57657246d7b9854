//! Threads that run the chunks of one loop together with the thread that asks for it.
//!
//! An operation of a small model takes some ten microseconds, so waking threads has to cost less: between operations
//! they spin for a moment, and only then sleep. A thread that is late (or not scheduled at all) is not waited for
//! unless it has begun a chunk.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};

/// How long a thread without work spins before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// More threads than any processor we know has.
const MAX_THREADS: usize = 1024;

/// The state says that a job may be entered.
const OPEN: u64 = 1;
/// One thread inside of the job.
const INSIDE: u64 = 2;
/// All threads inside of the job.
const ALL_INSIDE: u64 = 0xffff_fffe;
/// One job in the count of jobs.
const EPOCH: u64 = 1 << 32;

/// A fixed set of threads.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held while a job runs; there is one at a time.
    running: Mutex<()>,
}

#[repr(align(128))]
struct Shared {
    /// Jobs so far, threads inside of the current one, and whether it may be entered, in one word.
    state: AtomicU64,
    /// Valid for the threads inside.
    job: AtomicPtr<Job<'static>>,
    sleepers: AtomicUsize,
    stop: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
    /// For each thread, the chunks of the current job that are left of its share.
    shares: Box<[Share]>,
}

/// Consecutive chunks: the first one in the low half, the one after the last in the high half.
#[repr(align(128))]
#[derive(Default)]
struct Share(AtomicU64);

impl Share {
    fn set(&self, first: usize, end: usize) {
        self.0.store(first as u64 | (end as u64) << 32, Ordering::Relaxed);
    }

    /// Takes a chunk away: the first one for the thread whose share it is, the last one for others.
    fn take(&self, own: bool) -> Option<usize> {
        let mut state = self.0.load(Ordering::Relaxed);
        loop {
            let (first, end) = (state & 0xffff_ffff, state >> 32);
            if first >= end {
                return None;
            }
            let (chunk, rest) = if own { (first, state + 1) } else { (end - 1, state - (1 << 32)) };
            match self.0.compare_exchange_weak(state, rest, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(chunk as usize),
                Err(now) => state = now,
            }
        }
    }
}

type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

#[repr(align(128))]
struct Job<'a> {
    task: &'a Task<'a>,
    panic: Mutex<Option<String>>,
}

impl Pool {
    /// A pool of `threads` threads, the calling one included.
    pub(crate) fn new(threads: usize) -> Result<Arc<Self>> {
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(Error::invalid(format!("{threads} threads"))
                .with_hint(format!("choose 1 to {MAX_THREADS} threads, at best one for each processor core")));
        }
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            sleepers: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            lock: Mutex::new(()),
            wake: Condvar::new(),
            shares: (0..threads).map(|_| Share::default()).collect(),
        });
        let mut pool = Self { shared, workers: Vec::with_capacity(threads - 1), running: Mutex::new(()) };
        for worker in 1..threads {
            let shared = pool.shared.clone();
            let thread = std::thread::Builder::new().name(format!("pocketmlx-cpu-{worker}"));
            let handle = thread.spawn(move || shared.work(worker)).map_err(|e| {
                Error::out_of_memory(format!("cannot start thread {worker} of {threads}: {e}"))
                    .with_hint("ask for fewer threads")
            })?;
            pool.workers.push(handle);
        }
        Ok(Arc::new(pool))
    }

    /// Number of threads, and an upper bound of the thread numbers that tasks see.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(thread, chunk)` once for each chunk, on all threads, and returns when all are done. No two calls
    /// at one time have the same `thread`. Each thread begins with a share of consecutive chunks, in order, and helps
    /// others at the ends of theirs afterwards. A panic of a task becomes an error, and chunks that have not begun by then
    /// are left out.
    pub(crate) fn run(&self, chunks: usize, task: impl Fn(usize, usize) + Sync) -> Result<()> {
        let job = Job { task: &task, panic: Mutex::new(None) };
        // A loop inside of a task, or one of another thread, runs where it is instead of waiting.
        let several = chunks > 1 && chunks <= u32::MAX as usize && !self.workers.is_empty();
        match if several { self.running.try_lock() } else { None } {
            Some(_guard) => self.shared.run(&job, chunks),
            None => {
                let _ = (0..chunks).try_for_each(|chunk| job.call(0, chunk));
            }
        }
        match job.panic.into_inner() {
            None => Ok(()),
            Some(message) => Err(Error::internal(format!("a computation panicked: {message}"))),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        {
            let _guard = self.shared.lock.lock();
            self.shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            // Workers catch the panics of tasks and have none of their own to report.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// Opens the job, works on it, and leaves when nobody is inside any more.
    fn run(&self, job: &Job<'_>, chunks: usize) {
        let threads = self.shares.len();
        for (thread, share) in self.shares.iter().enumerate() {
            share.set(chunks * thread / threads, chunks * (thread + 1) / threads);
        }
        self.job.store(std::ptr::from_ref(job).cast_mut().cast(), Ordering::Relaxed);
        let epoch = self.state.load(Ordering::Relaxed) & !(EPOCH - 1);
        self.state.store(epoch.wrapping_add(EPOCH) | OPEN, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _guard = self.lock.lock();
            self.wake.notify_all();
        }
        self.work_on(job, 0);
        self.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0u32;
        while self.state.load(Ordering::Acquire) & ALL_INSIDE != 0 {
            spins += 1;
            // The last chunk of a thread that isn't scheduled can take long.
            if spins > 10_000 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }

    /// The life of a thread.
    fn work(&self, worker: usize) {
        let mut seen = 0;
        while let Some(epoch) = self.wait(seen) {
            seen = epoch;
            let job = self.job.load(Ordering::Relaxed);
            // SAFETY: this thread is inside of the job, so `run`, whose frame holds it, waits for us.
            self.work_on(unsafe { &*job }, worker);
            self.state.fetch_sub(INSIDE, Ordering::Release);
        }
    }

    /// Takes chunks until there are none left.
    fn work_on(&self, job: &Job<'_>, thread: usize) {
        let threads = self.shares.len();
        for other in 0..threads {
            let share = &self.shares[(thread + other) % threads];
            while let Some(chunk) = share.take(other == 0) {
                if job.call(thread, chunk).is_err() {
                    self.shares.iter().for_each(|share| share.set(0, 0));
                }
            }
        }
    }

    /// Waits for a job other than `seen` and enters it; `None` when the pool ends.
    fn wait(&self, seen: u64) -> Option<u64> {
        let mut since = None;
        loop {
            for _ in 0..256 {
                if let Some(epoch) = self.enter(seen) {
                    return Some(epoch);
                }
                std::hint::spin_loop();
            }
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if since.get_or_insert_with(Instant::now).elapsed() > SPIN {
                self.sleep(seen);
                since = None;
            }
        }
    }

    fn enter(&self, seen: u64) -> Option<u64> {
        let mut state = self.state.load(Ordering::Relaxed);
        while Self::is_new(state, seen) {
            match self.state.compare_exchange_weak(state, state + INSIDE, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(state / EPOCH),
                Err(now) => state = now,
            }
        }
        None
    }

    fn is_new(state: u64, seen: u64) -> bool {
        state & OPEN != 0 && state / EPOCH != seen
    }

    /// Sleeps until there may be a job. `run` looks for sleepers after it has opened the job, and a sleeper looks for
    /// a job after it has announced itself, so that one of them always sees the other.
    fn sleep(&self, seen: u64) {
        let mut guard = self.lock.lock();
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !Self::is_new(self.state.load(Ordering::SeqCst), seen) && !self.stop.load(Ordering::SeqCst) {
            self.wake.wait(&mut guard);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Job<'_> {
    /// Runs one chunk; fails after a panic.
    fn call(&self, thread: usize, chunk: usize) -> std::result::Result<(), ()> {
        catch_unwind(AssertUnwindSafe(|| (self.task)(thread, chunk))).map_err(|payload| {
            self.panic.lock().get_or_insert(message(&*payload));
        })
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn every_chunk_runs_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).unwrap();
            for chunks in [0, 1, 2, 3, 100, 1000] {
                let counts: Vec<_> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(chunks, |thread, chunk| {
                    assert!(thread < threads);
                    counts[chunk].fetch_add(1, Ordering::Relaxed);
                })
                .unwrap();
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn many_jobs_with_pauses() {
        let pool = Pool::new(3).unwrap();
        let sum = AtomicUsize::new(0);
        for job in 0..3000 {
            pool.run(7, |_, chunk| {
                sum.fetch_add(chunk, Ordering::Relaxed);
            })
            .unwrap();
            if job % 1000 == 0 {
                std::thread::sleep(2 * SPIN);
            }
        }
        assert_eq!(sum.load(Ordering::Relaxed), 3000 * 21);
    }

    #[test]
    fn panics_become_errors_and_the_pool_goes_on() {
        let pool = Pool::new(2).unwrap();
        for chunks in [1, 64] {
            let error = pool.run(chunks, |_, chunk| assert_ne!(chunk, chunks / 2, "chunk went wrong")).unwrap_err();
            assert_eq!(error.code(), Code::Internal);
            assert!(error.message().contains("chunk went wrong"), "{error}");
            pool.run(chunks, |_, _| ()).unwrap();
        }
    }

    #[test]
    fn loops_nest_and_run_from_several_threads() {
        let pool = Pool::new(2).unwrap();
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let add = |_: usize, chunk: usize| {
                        sum.fetch_add(chunk, Ordering::Relaxed);
                    };
                    pool.run(10, |_, _| pool.run(5, add).unwrap()).unwrap();
                });
            }
        });
        assert_eq!(sum.load(Ordering::Relaxed), 3 * 10 * 10);
    }

    #[test]
    fn thread_counts_are_checked() {
        for threads in [0, MAX_THREADS + 1, usize::MAX] {
            assert_eq!(Pool::new(threads).err().unwrap().code(), Code::InvalidArgument);
        }
    }
}
