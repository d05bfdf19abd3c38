//! Where and when requests were served, and how many: by window, part and instance, all operations together.

use super::table::Part;

/// Where and when requests were served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Spot {
    pub(super) window: i64,
    pub(super) side: Part,
    pub(super) instance: u32,
}

/// What was served somewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Served {
    pub(super) spot: Spot,
    pub(super) requests: f64,
}

/// Adds up what cells of different operations served. They may come in any order; those of a window are best one after the other.
pub(super) struct ServedSums {
    /// Of the latest window, by part and instance.
    open: Vec<Option<f64>>,
    /// Where there are such.
    touched: Vec<Spot>,
    instances: usize,
    closed: Vec<Served>,
}

impl ServedSums {
    pub(super) fn new(instances: usize) -> Self {
        Self { open: vec![None; 3 * instances], touched: Vec::new(), instances, closed: Vec::new() }
    }

    pub(super) fn add(&mut self, spot: Spot, requests: f64) {
        if self.touched.last().is_some_and(|last| last.window != spot.window) {
            self.close();
        }
        let place = self.place(&spot);
        match &mut self.open[place] {
            Some(sum) => *sum += requests,
            none @ None => {
                *none = Some(requests);
                self.touched.push(spot);
            }
        }
    }

    fn place(&self, spot: &Spot) -> usize {
        spot.side as usize * self.instances + spot.instance as usize
    }

    fn close(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        for spot in touched.drain(..) {
            let place = self.place(&spot);
            self.closed.extend(self.open[place].take().map(|requests| Served { spot, requests }));
        }
        self.touched = touched;
    }

    /// Sorted by spot, each of which is there once.
    pub(super) fn finish(mut self) -> Vec<Served> {
        self.close();
        // Fast where the windows came in order.
        self.closed.sort_by_key(|served| served.spot);
        self.closed.dedup_by(|later, first| {
            let is_same = later.spot == first.spot;
            if is_same {
                first.requests += later.requests;
            }
            is_same
        });
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_sorted_and_whole_in_whatever_order_cells_come() {
        let spot = |window, side, instance| Spot { window, side, instance };
        let cells = [
            (spot(2, Part::Baseline, 1), 1.0),
            (spot(2, Part::Canary, 2), 2.0),
            (spot(1, Part::Aside, 0), 4.0),
            (spot(2, Part::Baseline, 1), 8.0),
            (spot(2, Part::Baseline, 0), 0.0),
            (spot(1, Part::Baseline, 0), 16.0),
        ];
        let mut sums = ServedSums::new(3);
        cells.iter().for_each(|(spot, requests)| sums.add(*spot, *requests));
        let expected = [
            (spot(1, Part::Baseline, 0), 16.0),
            (spot(1, Part::Aside, 0), 4.0),
            (spot(2, Part::Canary, 2), 2.0),
            (spot(2, Part::Baseline, 0), 0.0),
            (spot(2, Part::Baseline, 1), 9.0),
        ];
        assert_eq!(sums.finish(), expected.map(|(spot, requests)| Served { spot, requests }));
        assert_eq!(ServedSums::new(0).finish(), []);
    }
}
