namespace GestureStreamer
{
    /// <summary>Names and limits of the protocol gesture.v1 (clients/PROTOCOL.md).</summary>
    public static class Protocol
    {
        public const string Name = "gesture.v1";
        public const string BinarySubprotocol = "gesture.v1.bin";
        public const string JsonSubprotocol = "gesture.v1.json";
        public const int SampleRate = 16000;

        /// <summary>More than any message of a server: a larger one is an error.</summary>
        public const int MaxMessageBytes = 1 << 20;

        /// <summary>Bounds what a hello may make us allocate.</summary>
        public const int MaxBones = 1024;
    }

    /// <summary>What the voice does.</summary>
    public enum VoiceState
    {
        Idle,
        Listening,
        Speaking,
    }

    /// <summary>A message that breaks the protocol; its text is one line.</summary>
    public sealed class ProtocolException : System.Exception
    {
        public ProtocolException(string message) : base(message) { }
    }
}
