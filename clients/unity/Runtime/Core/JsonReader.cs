using System;
using System.Collections.Generic;
using System.Text;

namespace GestureStreamer
{
    /// <summary>
    /// Reads JSON from UTF-8 bytes, value by value: no reflection, no tree, no garbage but the
    /// strings that are asked for. A struct: pass it by ref.
    /// </summary>
    public struct JsonReader
    {
        private const int MaxDepth = 32;

        private readonly byte[] data;
        private readonly int end;
        private int at;
        private int keyStart;
        private int keyEnd;

        public JsonReader(byte[] data, int start, int count)
        {
            this.data = data;
            at = start;
            end = start + count;
            keyStart = keyEnd = start;
        }

        /// <summary>Enter an object; then call <see cref="NextKey"/> until it is false.</summary>
        public void BeginObject() => Expect((byte)'{');

        /// <summary>Go to the next key of the object entered last; its value is read next.</summary>
        public bool NextKey()
        {
            if (!NextEntry((byte)'{', (byte)'}')) return false;
            SkipString(out keyStart, out keyEnd);
            Expect((byte)':');
            return true;
        }

        /// <summary>Whether the key at hand is this ASCII name.</summary>
        public bool KeyIs(string name)
        {
            return Same(keyStart, keyEnd, name);
        }

        /// <summary>Enter an array; then call <see cref="NextItem"/> until it is false.</summary>
        public void BeginArray() => Expect((byte)'[');

        /// <summary>Go to the next item of the array entered last.</summary>
        public bool NextItem() => NextEntry((byte)'[', (byte)']');

        /// <summary>Read a finite number, correctly rounded for up to 15 digits.</summary>
        public double Number()
        {
            SkipSpace();
            int start = at;
            bool negative = at < end && data[at] == '-';
            if (negative) at++;
            long mantissa = 0;
            int digits = 0, significant = 0, exponent = 0;
            while (at < end && IsDigit(data[at])) Digit(0, ref mantissa, ref digits, ref significant, ref exponent);
            if (digits == 0) throw Broken("expected a number");
            if (at < end && data[at] == '.')
            {
                at++;
                int before = digits;
                while (at < end && IsDigit(data[at])) Digit(1, ref mantissa, ref digits, ref significant, ref exponent);
                if (digits == before) throw Broken("expected digits after the point");
            }
            if (at < end && (data[at] | 0x20) == 'e') exponent += Exponent();
            double value = Scaled(mantissa, exponent);
            if (double.IsInfinity(value)) throw Broken("number is too large", start);
            return negative ? -value : value;
        }

        /// <summary>Read a number that counts something.</summary>
        public long Count(long most)
        {
            double value = Number();
            if (value < 0 || value > most || value != Math.Floor(value)) throw Broken("expected a count");
            return (long)value;
        }

        public bool Boolean()
        {
            SkipSpace();
            if (Literal("true")) return true;
            if (Literal("false")) return false;
            throw Broken("expected true or false");
        }

        /// <summary>Read a string.</summary>
        public string String()
        {
            SkipSpace();
            SkipString(out int start, out int stop);
            return Unescaped(start, stop);
        }

        /// <summary>Read a string and tell which of the names it is, -1 for none; no garbage.</summary>
        public int OneOf(string[] names)
        {
            SkipSpace();
            SkipString(out int start, out int stop);
            for (int i = 0; i < names.Length; i++)
            {
                if (Same(start, stop, names[i])) return i;
            }
            return -1;
        }

        /// <summary>Read an array of strings.</summary>
        public string[] Strings(int most)
        {
            var list = new List<string>();
            BeginArray();
            while (NextItem())
            {
                if (list.Count == most) throw Broken("array is too long");
                list.Add(String());
            }
            return list.ToArray();
        }

        /// <summary>Read an array of exactly as many numbers as fit into `into`.</summary>
        public void Floats(float[] into)
        {
            int n = 0;
            BeginArray();
            while (NextItem())
            {
                if (n == into.Length) throw Broken("array is too long");
                float value = (float)Number();
                if (float.IsInfinity(value)) throw Broken("number is too large");
                into[n++] = value;
            }
            if (n != into.Length) throw Broken("array is too short");
        }

        /// <summary>Whether the next value is a string, an object or what else: its first byte.</summary>
        public byte Peek()
        {
            SkipSpace();
            return at < end ? data[at] : (byte)0;
        }

        /// <summary>Read any value and return its text.</summary>
        public string Raw()
        {
            SkipSpace();
            int start = at;
            Skip();
            return Encoding.UTF8.GetString(data, start, at - start);
        }

        /// <summary>Read over any value.</summary>
        public void Skip() => Skip(0);

        /// <summary>Make sure that nothing but space is left.</summary>
        public void End()
        {
            SkipSpace();
            if (at != end) throw Broken("text after the message");
        }

        private void Skip(int depth)
        {
            if (depth > MaxDepth) throw Broken("nested too deeply");
            switch (Peek())
            {
                case (byte)'{':
                    BeginObject();
                    while (NextKey()) Skip(depth + 1);
                    break;
                case (byte)'[':
                    BeginArray();
                    while (NextItem()) Skip(depth + 1);
                    break;
                case (byte)'"':
                    SkipString(out _, out _);
                    break;
                case (byte)'t':
                case (byte)'f':
                    Boolean();
                    break;
                case (byte)'n':
                    if (!Literal("null")) throw Broken("unknown value");
                    break;
                default:
                    Number();
                    break;
            }
        }

        private bool NextEntry(byte open, byte close)
        {
            SkipSpace();
            if (at >= end) throw Broken("ends too early");
            bool first = Opened(open);
            if (data[at] == close)
            {
                at++;
                return false;
            }
            if (!first)
            {
                if (data[at] != ',') throw Broken("expected a comma");
                at++;
                SkipSpace();
            }
            return true;
        }

        // No entry has been read since the bracket; space may stand between.
        private bool Opened(byte open)
        {
            int i = at - 1;
            while (i > 0 && IsSpace(data[i])) i--;
            return data[i] == open;
        }

        private void SkipString(out int start, out int stop)
        {
            if (at >= end || data[at] != '"') throw Broken("expected a string");
            start = ++at;
            while (at < end && data[at] != '"') at += data[at] == '\\' ? 2 : 1;
            if (at >= end) throw Broken("string without end");
            stop = at++;
        }

        private string Unescaped(int start, int stop)
        {
            int slash = Array.IndexOf(data, (byte)'\\', start, stop - start);
            if (slash < 0) return Encoding.UTF8.GetString(data, start, stop - start);
            var text = new StringBuilder();
            while (start < stop)
            {
                slash = Array.IndexOf(data, (byte)'\\', start, stop - start);
                if (slash < 0) slash = stop;
                text.Append(Encoding.UTF8.GetString(data, start, slash - start));
                if (slash == stop) break;
                start = slash + 2;
                switch (data[slash + 1])
                {
                    case (byte)'"': text.Append('"'); break;
                    case (byte)'\\': text.Append('\\'); break;
                    case (byte)'/': text.Append('/'); break;
                    case (byte)'b': text.Append('\b'); break;
                    case (byte)'f': text.Append('\f'); break;
                    case (byte)'n': text.Append('\n'); break;
                    case (byte)'r': text.Append('\r'); break;
                    case (byte)'t': text.Append('\t'); break;
                    case (byte)'u':
                        if (stop - start < 4) throw Broken("broken escape");
                        int code = 0;
                        for (int i = 0; i < 4; i++) code = 16 * code + Hex(data[start + i]);
                        text.Append((char)code);
                        start += 4;
                        break;
                    default: throw Broken("unknown escape");
                }
            }
            return text.ToString();
        }

        private int Hex(byte c)
        {
            if (IsDigit(c)) return c - '0';
            int letter = (c | 0x20) - 'a';
            if (letter < 0 || letter > 5) throw Broken("broken escape");
            return 10 + letter;
        }

        private void Digit(int scale, ref long mantissa, ref int digits, ref int significant, ref int exponent)
        {
            digits++;
            int value = data[at++] - '0';
            if (significant > 0 || value > 0) significant++;
            if (significant <= 18)
            {
                mantissa = 10 * mantissa + value;
                exponent -= scale;
            }
            else
            {
                exponent += 1 - scale; // beyond what a double holds
            }
        }

        private int Exponent()
        {
            at++;
            bool negative = at < end && data[at] == '-';
            if (at < end && (data[at] == '-' || data[at] == '+')) at++;
            int value = 0, digits = 0;
            for (; at < end && IsDigit(data[at]); at++, digits++) value = Math.Min(10 * value + data[at] - '0', 9999);
            if (digits == 0) throw Broken("expected an exponent");
            return negative ? -value : value;
        }

        private static double Scaled(long mantissa, int exponent)
        {
            if (mantissa == 0) return 0;
            if (exponent > 310) return double.PositiveInfinity;
            double value = mantissa;
            for (; exponent < -22; exponent += 22)
            {
                value /= 1e22;
                if (value == 0) return 0;
            }
            for (; exponent > 22; exponent -= 22) value *= 1e22;
            double power = 1;
            for (int i = Math.Abs(exponent); i > 0; i--) power *= 10; // exact up to 1e22
            return exponent < 0 ? value / power : value * power;
        }

        private bool Same(int start, int stop, string name)
        {
            if (stop - start != name.Length) return false;
            for (int i = 0; i < name.Length; i++)
            {
                if (data[start + i] != name[i]) return false;
            }
            return true;
        }

        private bool Literal(string word)
        {
            if (end - at < word.Length || !Same(at, at + word.Length, word)) return false;
            at += word.Length;
            return true;
        }

        private void Expect(byte c)
        {
            SkipSpace();
            if (at >= end || data[at] != c) throw Broken("expected '" + (char)c + "'");
            at++;
        }

        private void SkipSpace()
        {
            while (at < end && IsSpace(data[at])) at++;
        }

        private static bool IsSpace(byte c) => c == ' ' || c == '\n' || c == '\r' || c == '\t';

        private static bool IsDigit(byte c) => c >= '0' && c <= '9';

        private ProtocolException Broken(string why) => Broken(why, at);

        private static ProtocolException Broken(string why, int where)
        {
            return new ProtocolException("message is not as expected at byte " + where + ": " + why);
        }
    }
}
