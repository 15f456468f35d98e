// Made by `runtime.ts` while building: the address of onnxruntime's WebAssembly.
declare module "virtual:onnxruntime-wasm" {
  const url: string;
  export default url;
}

declare module "*?worker&url" {
  const url: string;
  export default url;
}
