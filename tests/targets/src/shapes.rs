// shapes.rs - what Rust adds: mangled names of its own, generics, closures, trait objects, a panic in flight.
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

static ARRIVED: AtomicUsize = AtomicUsize::new(0);

#[inline(never)]
fn wait_here(n: u32) -> u32 {
    ARRIVED.fetch_add(1, Ordering::SeqCst);
    loop {
        std::thread::sleep(Duration::from_secs(1000 + n as u64));
    }
}

struct Held<T> {
    value: T,
}

trait Waits {
    fn waits(&self) -> u32;
}

impl<T: Copy + Into<u32>> Waits for Held<T> {
    #[inline(never)]
    fn waits(&self) -> u32 {
        wait_here(self.value.into()) + 1
    }
}

struct Dropped(u32);
impl Drop for Dropped {
    fn drop(&mut self) {
        wait_here(self.0);
    }
}

#[inline(never)]
fn panics(n: u32) -> u32 {
    let _held = Dropped(n);
    if n > 0 {
        panic!("in flight");
    }
    n
}

#[inline(never)]
fn generic<F: Fn(u32) -> u32>(f: F) -> u32 {
    f(3) + 1
}

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::spawn(|| {
        let held: Box<dyn Waits> = Box::new(Held { value: 7u16 });
        held.waits()
    });
    std::thread::spawn(|| panics(2));
    std::thread::spawn(|| generic(|n| wait_here(n) + 2));
    while ARRIVED.load(Ordering::SeqCst) < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("ready");
    std::io::stdout().flush().unwrap();
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}
