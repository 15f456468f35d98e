namespace GestureStreamer
{
    public enum MessageKind
    {
        Hello,
        Frame,
        Event,
        Error,
        Other,
    }

    /// <summary>Something that is not a pose: a word, a caption, a reset, statistics.</summary>
    public sealed class StreamEvent
    {
        public string Kind = "";
        public long Sample;

        /// <summary>Of words and captions.</summary>
        public string Text = "";

        /// <summary>Of words: where they lie, in samples.</summary>
        public long Start;
        public long End;

        /// <summary>Of words and captions: it will not be revised.</summary>
        public bool Final = true;

        /// <summary>Of warnings, and the reason of resets.</summary>
        public string Message = "";
        public string Code = "";

        /// <summary>Of `latency`.</summary>
        public Latency Latency;

        /// <summary>The whole event as JSON, for kinds that are not taken apart here.</summary>
        public string Json = "";
    }

    /// <summary>Tells what a text message is, and reads the small ones.</summary>
    public static class TextMessage
    {
        private static readonly string[] Types = { "hello", "frame", "event", "error" };

        /// <summary>Return a message's kind; unknown ones are Other, so that newer engines work.</summary>
        public static MessageKind KindOf(byte[] data, int start, int count)
        {
            var json = new JsonReader(data, start, count);
            json.BeginObject();
            while (json.NextKey())
            {
                if (!json.KeyIs("type"))
                {
                    json.Skip();
                    continue;
                }
                int which = json.OneOf(Types);
                return which < 0 ? MessageKind.Other : (MessageKind)which;
            }
            throw new ProtocolException("message without a type");
        }

        /// <summary>Read an event.</summary>
        public static StreamEvent Event(byte[] data, int start, int count)
        {
            var json = new JsonReader(data, start, count);
            var whole = json;
            var read = new StreamEvent { Json = whole.Raw() };
            json.BeginObject();
            while (json.NextKey())
            {
                bool text = json.Peek() == '"';
                if (json.KeyIs("event")) read.Kind = json.String();
                else if (json.KeyIs("sample")) read.Sample = json.Count(1L << 53);
                else if (json.KeyIs("text") && text) read.Text = json.String();
                else if (json.KeyIs("start") && !text) read.Start = json.Count(1L << 53);
                else if (json.KeyIs("end") && !text) read.End = json.Count(1L << 53);
                else if (json.KeyIs("final")) read.Final = json.Boolean();
                else if ((json.KeyIs("message") || json.KeyIs("reason")) && text) read.Message = json.String();
                else if (json.KeyIs("code") && text) read.Code = json.String();
                else if (text) json.Skip();
                else read.Latency.Take(ref json);
            }
            return read;
        }

        /// <summary>Read why the server is about to close the connection.</summary>
        public static string Error(byte[] data, int start, int count)
        {
            var json = new JsonReader(data, start, count);
            string message = "";
            json.BeginObject();
            while (json.NextKey())
            {
                if (json.KeyIs("message")) message = json.String();
                else json.Skip();
            }
            return message;
        }
    }
}
