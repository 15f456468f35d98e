using System;

namespace GestureStreamer
{
    /// <summary>
    /// Estimates the stream time of the newest frame that could be here by now.
    /// </summary>
    /// <remarks>
    /// A frame is never early, only late: the least delay of a window is the true offset between
    /// the clocks, whatever bursts and stalls lie between. Drift is followed so slowly that nobody
    /// sees it; a real jump of the stream is taken at once. All times are seconds.
    /// </remarks>
    public sealed class StreamClock
    {
        private const double WindowS = 8;
        private const double JumpS = 0.25;
        private const int JumpFrames = 8;
        private const double Slew = 0.03; // of the speed of time
        private const double MaxMarginS = 0.045;
        private const int Most = 1024; // 8 s at 120 frames a second

        private readonly double[] arrivedAt = new double[Most];
        private readonly double[] delayOf = new double[Most];
        private readonly double[] sorted = new double[Most];
        private int first;
        private int count;
        private double offset;
        private double target;
        private double margin;
        private double wanted;
        private double last;
        private int jumped;

        public StreamClock()
        {
            Reset();
        }

        public bool Synced => count > 0;

        /// <summary>What playback waits beyond the earliest frames: nine of ten come in time.</summary>
        public double Jitter => margin;

        /// <summary>Forget everything: the stream starts anew.</summary>
        public void Reset()
        {
            first = count = jumped = 0;
            offset = target = margin = wanted = 0;
            last = double.NaN;
        }

        /// <summary>Note a frame of a stream time that arrived at a local time.</summary>
        /// <param name="fresh">It may follow a gap: then even one late frame is a jump.</param>
        public void Arrive(double stream, double at, bool fresh)
        {
            double delay = at - stream;
            if (count > 0)
            {
                jumped = delay - target > JumpS ? jumped + 1 : 0;
                if (jumped >= (fresh ? 1 : JumpFrames) || target - delay > JumpS) Reset();
            }
            if (count == 0) offset = delay;
            if (count == Most) Forget();
            Remember(at, delay);
            while (at - arrivedAt[first] > WindowS) Forget();
            target = sorted[0];
            wanted = Math.Min(sorted[(int)(0.9 * (count - 1))] - target, MaxMarginS);
            if (Math.Abs(target - offset) > JumpS) offset = target; // after a pause longer than the window
        }

        /// <summary>Stream time to show at a local time, `behind` seconds after the newest frame.</summary>
        public double Time(double at, double behind)
        {
            double step = double.IsNaN(last) ? double.PositiveInfinity : Math.Max(0, at - last) * Slew;
            last = at;
            offset = Approach(offset, target, step);
            margin = Approach(margin, wanted, step);
            return at - offset - margin - behind;
        }

        private void Remember(double at, double delay)
        {
            int slot = (first + count) % Most;
            arrivedAt[slot] = at;
            delayOf[slot] = delay;
            int place = Place(delay);
            Array.Copy(sorted, place, sorted, place + 1, count - place);
            sorted[place] = delay;
            count++;
        }

        private void Forget()
        {
            int place = Place(delayOf[first]);
            count--;
            Array.Copy(sorted, place + 1, sorted, place, count - place);
            first = (first + 1) % Most;
        }

        /// <summary>Index of the first delay that is not less.</summary>
        private int Place(double delay)
        {
            int low = 0, high = count;
            while (low < high)
            {
                int middle = (low + high) / 2;
                if (sorted[middle] < delay) low = middle + 1;
                else high = middle;
            }
            return low;
        }

        private static double Approach(double value, double goal, double step)
        {
            return value < goal ? Math.Min(value + step, goal) : Math.Max(value - step, goal);
        }
    }
}
