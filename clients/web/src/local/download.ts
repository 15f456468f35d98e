// Files with one progress for all of them.

export class Download {
  received = 0;
  private total = 0;

  constructor(private readonly progress: (received: number, total: number) => void) {}

  async json(url: string): Promise<unknown> {
    return JSON.parse(new TextDecoder().decode(await this.bytes(url)));
  }

  async bytes(url: string): Promise<Uint8Array<ArrayBuffer>> {
    const name = new URL(url, location.href).pathname.split("/").pop();
    const response = await fetch(url).catch(() => null);
    if (!response?.ok || !response.body) {
      throw new Error(`${name} cannot be loaded (${response ? response.status : "no connection"}).`);
    }
    this.total += Number(response.headers.get("Content-Length") ?? 0);
    const parts: Uint8Array[] = [];
    const reader = response.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(part.value);
      this.received += part.value.length;
      this.progress(this.received, Math.max(this.total, this.received));
    }
    const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }

  /** A file that may be compressed by gzip: some servers undo that, most do not. */
  async gunzipped(url: string): Promise<ArrayBuffer> {
    const bytes = await this.bytes(url);
    if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.buffer;
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(plain).arrayBuffer();
  }
}
