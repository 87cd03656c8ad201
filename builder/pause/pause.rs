//! The program of the image `built-in:pause`: it holds a pod's namespaces, and does nothing else.
//!
//! Process 1 of a pod whose containers share one process namespace inherits every orphan: it waits for each child that ends, so that
//! none stays a zombie. SIGTERM and SIGINT end it; every other signal does what it does by default.
//!
//! Each pod has one, so it is as small as a program can be: system calls of Linux on x86-64, no memory but a page of code, no library.
//! Assembly, because there is nothing in it but system calls; `build.rs` has it compiled.

#![no_std]
#![no_main]

core::arch::global_asm!(
    r#"
    .globl _start
_start:
    # rt_sigprocmask(SIG_BLOCK, &signals, NULL, 8): blocked, a signal waits for us, even one that process 1 would not get.
    mov eax, 14
    xor edi, edi
    lea rsi, [rip + signals]
    xor edx, edx
    mov r10d, 8
    syscall

wait:
    # rt_sigtimedwait(&signals, NULL, NULL, 8): the number of the signal that came, or an error (another one interrupted: wait again).
    mov eax, 128
    lea rdi, [rip + signals]
    xor esi, esi
    xor edx, edx
    mov r10d, 8
    syscall
    cmp eax, 2
    je end
    cmp eax, 15
    je end
    cmp eax, 17
    jne wait

reap:
    # wait4(-1, NULL, WNOHANG, NULL), until no child is left that has ended: one SIGCHLD may stand for several.
    mov eax, 61
    mov rdi, -1
    xor esi, esi
    mov edx, 1
    xor r10d, r10d
    syscall
    test eax, eax
    jg reap
    jmp wait

end:
    # exit_group(0)
    mov eax, 231
    xor edi, edi
    syscall

    # SIGINT (2), SIGTERM (15), SIGCHLD (17), each as bit number - 1.
    .balign 8
signals:
    .quad (1 << 1) | (1 << 14) | (1 << 16)
"#
);

#[panic_handler]
fn never(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
