namespace GestureStreamer
{
    /// <summary>The header of a stream: all names and rests, sent once before frames.</summary>
    public sealed class Hello
    {
        public string Session = "";
        public string Version = "";
        public string Model = "";
        public string Backend = "";
        public double Fps;
        public int Lookahead;

        /// <summary>Names of VRM 1.0 humanoid bones, parents first.</summary>
        public string[] Bones = new string[0];

        /// <summary>Index of each bone's parent, -1 for the hips.</summary>
        public int[] Parents = new int[0];

        /// <summary>x, y, z offset of each bone from its parent in the T-pose, metres.</summary>
        public float[] Rest = new float[0];

        public string[] Joints = new string[0];
        public string[] Directions = new string[0];
        public Latency Latency;

        public Layout Layout => new Layout(Bones.Length, Joints.Length, Directions.Length);

        /// <summary>Read a hello; throws <see cref="ProtocolException"/> for another protocol.</summary>
        public static Hello Parse(byte[] data, int start, int count)
        {
            var json = new JsonReader(data, start, count);
            var hello = new Hello();
            string protocol = "", coordinates = "", rotation = "";
            int parents = 0;
            var rest = default(JsonReader);
            bool hasRest = false;
            var found = new int[Protocol.MaxBones];
            json.BeginObject();
            while (json.NextKey())
            {
                if (json.KeyIs("protocol")) protocol = json.String();
                else if (json.KeyIs("session")) hello.Session = json.String();
                else if (json.KeyIs("version")) hello.Version = json.String();
                else if (json.KeyIs("model")) hello.Model = json.String();
                else if (json.KeyIs("backend")) hello.Backend = json.String();
                else if (json.KeyIs("fps")) hello.Fps = json.Number();
                else if (json.KeyIs("lookahead")) hello.Lookahead = (int)json.Count(1 << 20);
                else if (json.KeyIs("coordinates")) coordinates = json.String();
                else if (json.KeyIs("rotation")) rotation = json.String();
                else if (json.KeyIs("bones")) hello.Bones = json.Strings(Protocol.MaxBones);
                else if (json.KeyIs("joints")) hello.Joints = json.Strings(Protocol.MaxBones);
                else if (json.KeyIs("directions")) hello.Directions = json.Strings(Protocol.MaxBones);
                else if (json.KeyIs("latency_ms")) hello.Latency = Latency.Parse(ref json);
                else if (json.KeyIs("parents"))
                {
                    json.BeginArray();
                    while (json.NextItem())
                    {
                        double parent = json.Number();
                        if (parents == found.Length || parent < -1 || parent >= parents)
                        {
                            throw new ProtocolException("hello: bone " + parents + " has no parent before it");
                        }
                        found[parents++] = (int)parent;
                    }
                }
                else if (json.KeyIs("rest"))
                {
                    rest = json; // its length is known once the bones are
                    hasRest = true;
                    json.Skip();
                }
                else json.Skip();
            }
            if (protocol != Protocol.Name)
            {
                throw new ProtocolException(
                    "the engine speaks '" + protocol + "', this client " + Protocol.Name + "; update the older one");
            }
            if (coordinates != "vrm1" || rotation != "normalized_local_xyzw")
            {
                throw new ProtocolException("hello: axes '" + coordinates + "' with rotations '" + rotation + "'");
            }
            if (!(hello.Fps > 0) || hello.Bones.Length == 0 || parents != hello.Bones.Length || !hasRest)
            {
                throw new ProtocolException("hello without fps, or with bones, parents and rest that do not fit");
            }
            hello.Parents = new int[parents];
            System.Array.Copy(found, hello.Parents, parents);
            hello.Rest = new float[3 * hello.Bones.Length];
            rest.Floats(hello.Rest);
            return hello;
        }
    }

    /// <summary>The measured latencies in milliseconds.</summary>
    public struct Latency
    {
        public double Algorithmic;
        public double Compute;
        public double MicToWire;

        /// <summary>How long the motion lags the voice on screen: delay the voice by as much.</summary>
        public double Visible;

        internal static Latency Parse(ref JsonReader json)
        {
            var latency = default(Latency);
            json.BeginObject();
            while (json.NextKey()) latency.Take(ref json);
            return latency;
        }

        // A hello says "compute", a latency event "compute_ms".
        internal void Take(ref JsonReader json)
        {
            if (json.KeyIs("algorithmic") || json.KeyIs("algorithmic_ms")) Algorithmic = json.Number();
            else if (json.KeyIs("compute") || json.KeyIs("compute_ms")) Compute = json.Number();
            else if (json.KeyIs("mic_to_wire") || json.KeyIs("mic_to_wire_ms")) MicToWire = json.Number();
            else if (json.KeyIs("visible") || json.KeyIs("visible_ms")) Visible = json.Number();
            else json.Skip();
        }
    }
}
