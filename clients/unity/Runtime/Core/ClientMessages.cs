using System.Globalization;
using System.Text;

namespace GestureStreamer
{
    /// <summary>What a client says, as bytes to send.</summary>
    public static class ClientMessages
    {
        /// <summary>Bytes that <see cref="Ack"/> may need.</summary>
        public const int AckBytes = 32;

        private static readonly byte[] AckStart = Encoding.ASCII.GetBytes("{\"type\":\"ack\",\"seq\":");

        /// <summary>Write the acknowledgement of a frame; returns its length. No garbage.</summary>
        public static int Ack(uint seq, byte[] into)
        {
            int n = AckStart.Length;
            System.Array.Copy(AckStart, into, n);
            uint power = 1;
            while (seq / power >= 10) power *= 10;
            for (; power > 0; power /= 10) into[n++] = (byte)('0' + seq / power % 10);
            into[n++] = (byte)'}';
            return n;
        }

        /// <summary>The first message where a token is needed, or for a session of one's own.</summary>
        public static byte[] Hello(string token)
        {
            string rest = string.IsNullOrEmpty(token) ? "" : ",\"token\":" + Quoted(token);
            return Bytes("{\"type\":\"hello\",\"protocol\":\"" + Protocol.Name + "\",\"options\":{}" + rest + "}");
        }

        public static byte[] Interrupt() => Bytes("{\"type\":\"interrupt\"}");

        public static byte[] End() => Bytes("{\"type\":\"end\"}");

        public static byte[] Ping(int id) => Bytes("{\"type\":\"ping\",\"id\":" + Number(id) + "}");

        public static byte[] Word(string text, long start, long end, bool final)
        {
            return Bytes(
                "{\"type\":\"word\",\"text\":" + Quoted(text) + ",\"start\":" + Number(start) + ",\"end\":" + Number(end)
                + ",\"final\":" + (final ? "true" : "false") + "}");
        }

        /// <summary>Write mono audio at 16 kHz from `first` on; returns its length. No garbage.</summary>
        /// <remarks>`into` holds 16 bytes and two for each sample.</remarks>
        public static int Audio(float[] samples, int offset, int count, long first, byte[] into)
        {
            into[0] = (byte)'G';
            into[1] = (byte)'S';
            into[2] = (byte)'T';
            into[3] = (byte)'A';
            into[4] = 1;
            into[5] = into[6] = into[7] = 0;
            for (int i = 0; i < 8; i++) into[8 + i] = (byte)(first >> (8 * i));
            int n = 16;
            for (int i = offset; i < offset + count; i++)
            {
                double scaled = System.Math.Round(samples[i] * 32768.0);
                int value = scaled > 32767 ? 32767 : scaled < -32768 ? -32768 : (int)scaled;
                into[n++] = (byte)value;
                into[n++] = (byte)(value >> 8);
            }
            return n;
        }

        private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);

        private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

        private static string Quoted(string text)
        {
            var quoted = new StringBuilder("\"");
            foreach (char c in text)
            {
                if (c == '"' || c == '\\') quoted.Append('\\').Append(c);
                else if (c < ' ') quoted.Append("\\u").Append(((int)c).ToString("x4"));
                else quoted.Append(c);
            }
            return quoted.Append('"').ToString();
        }
    }
}
