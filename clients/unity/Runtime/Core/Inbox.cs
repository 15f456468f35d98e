namespace GestureStreamer
{
    /// <summary>
    /// Hands frames from the thread that receives to the thread that draws; no garbage.
    /// </summary>
    /// <remarks>When full, the oldest frame makes room and is counted: a viewer wants the newest.</remarks>
    public sealed class Inbox
    {
        private const int Most = 32;

        private readonly object door = new object();
        private readonly Frame[] frames = new Frame[Most];
        private readonly double[] arrivals = new double[Most];
        private int first;
        private int count;
        private int dropped;

        public Inbox(Layout layout)
        {
            for (int i = 0; i < Most; i++) frames[i] = new Frame(layout);
        }

        /// <summary>Frames that nobody took in time.</summary>
        public int Dropped
        {
            get
            {
                lock (door) return dropped;
            }
        }

        /// <summary>Put in a copy of a frame that arrived at a local time.</summary>
        public void Put(Frame frame, double at)
        {
            lock (door)
            {
                if (count == Most)
                {
                    first = (first + 1) % Most;
                    count--;
                    dropped++;
                }
                int slot = (first + count) % Most;
                frames[slot].CopyFrom(frame);
                arrivals[slot] = at;
                count++;
            }
        }

        /// <summary>Copy the oldest frame out; false when there is none.</summary>
        public bool TryTake(Frame into, out double at)
        {
            lock (door)
            {
                at = 0;
                if (count == 0) return false;
                into.CopyFrom(frames[first]);
                at = arrivals[first];
                first = (first + 1) % Most;
                count--;
                return true;
            }
        }
    }
}
